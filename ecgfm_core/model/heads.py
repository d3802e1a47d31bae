"""Task heads: pool the contexts of the signal, by learned queries or as their mean, then one linear layer.

B batch, N token, D width, Q query, C label.
"""

import torch
from torch import Tensor, nn

from ecgfm_core.model.linear import Linear

QUERY_COUNT = 4


class AttentionHead(nn.Module):
    """Learned-query attention pooling and a linear layer: `[B, N, D]` to logits `[B, C]`."""

    def __init__(self, width: int, output_count: int) -> None:
        super().__init__()
        self.keys = Linear(width, width, bias=False)
        self.queries_QD = nn.Parameter(torch.randn(QUERY_COUNT, width) / width**0.5)
        self.out = Linear(QUERY_COUNT * width, output_count)

    def forward(self, contexts_BND: Tensor, valid_BN: Tensor | None = None) -> Tensor:
        """Give logits; padded tokens get no attention."""
        scores_BQN = (
            torch.einsum("qd,bnd->bqn", self.queries_QD, self.keys(contexts_BND)) / contexts_BND.shape[-1] ** 0.5
        )
        if valid_BN is not None:
            scores_BQN = scores_BQN.masked_fill(~valid_BN[:, None], float("-inf"))
        return self.out((scores_BQN.softmax(dim=-1) @ contexts_BND).flatten(1))


class LinearHead(nn.Module):
    """The mean of the valid contexts and one linear layer: `[B, N, D]` to logits `[B, C]`."""

    def __init__(self, width: int, output_count: int) -> None:
        super().__init__()
        self.out = nn.Linear(width, output_count)

    def forward(self, contexts_BND: Tensor, valid_BN: Tensor | None = None) -> Tensor:
        """Give logits; padded tokens count for nothing."""
        if valid_BN is None:
            return self.out(contexts_BND.mean(1))
        weight_BN1 = valid_BN[..., None].to(contexts_BND.dtype)
        return self.out((contexts_BND * weight_BN1).sum(1) / weight_BN1.sum(1))
