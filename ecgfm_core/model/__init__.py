"""The network: convolutional encoder, causal decoder, heads, text. The only package of the core that needs torch."""
