"""Training: data, objectives, the loop, run folders and checkpoints. Only objectives, loop and pretrain need torch."""
