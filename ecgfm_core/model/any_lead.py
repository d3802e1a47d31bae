"""The transferred encoder: any set of leads to tokens of the shape that the twelve-lead encoder gives.

One stem serves every lead; a learned embedding says which lead it is; attention over the leads that are there makes one
token of them, and convolutions like the twelve-lead encoder's follow. A lead that is zero all through a crop is absent.

B batch, L lead, T time sample, N token, K sample within a kernel, F stem feature, G attention head, S feature of its
scores, D width.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from ecgfm_core.configs import Config
from ecgfm_core.leads import STANDARD_LEADS
from ecgfm_core.model.encoder import CausalConvolution, Encoder
from ecgfm_core.model.linear import Linear

_LEADS = len(STANDARD_LEADS)
_HEADS, _SCORE_FEATURES = 4, 16
_NOTHING = -1e4  # a finite score of an absent lead, so that a crop without any lead gives numbers and not NaN


class LeadStem(nn.Module):
    """The first layer, for any leads: features of each lead, made that lead's own, and joined by masked attention."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.kernel, self.stride = config.kernels[0], config.strides[0]
        # One feature a lead and a sample: room for a first layer of twelve leads in one stem that all of them share.
        features = _LEADS * self.kernel
        self.features_KF = nn.Parameter(torch.randn(self.kernel, features) / self.kernel**0.5)
        self.embedding_scale_LF = nn.Parameter(torch.ones(_LEADS, features))
        self.embedding_shift_LF = nn.Parameter(torch.zeros(_LEADS, features))
        self.score_features = Linear(self.kernel, _SCORE_FEATURES, bias=False)
        self.score_embedding_LS = nn.Parameter(torch.zeros(_LEADS, _SCORE_FEATURES))
        self.scores = Linear(_SCORE_FEATURES, _HEADS)
        self.weights = Linear(features, config.width)
        self.norm = nn.LayerNorm(config.width)

    def forward(self, waveform_BLT: Tensor) -> Tensor:
        """Give `[B, T // stride, D]`; token n ends with sample ``stride * (n + 1) - 1``."""
        padded_BLT = functional.pad(waveform_BLT, (self.kernel - self.stride, 0))
        taps_BNLK = padded_BLT.unfold(2, self.kernel, self.stride).transpose(1, 2).contiguous()
        share_BNGL = self._shares(taps_BNLK, waveform_BLT.ne(0).any(-1))
        batch, tokens = taps_BNLK.shape[:2]
        # Each head weighs the leads before its features are made of them: that is the same, and far less work.
        weighted = (share_BNGL[..., None] * taps_BNLK[:, :, None]).reshape(batch * tokens, _HEADS, -1)
        kernels_LKF = self.features_KF * self.embedding_scale_LF[:, None]
        kernels = kernels_LKF.reshape(_LEADS * self.kernel, _HEADS, -1)
        shifts = self.embedding_shift_LF.view(_LEADS, _HEADS, -1)
        joined = weighted.transpose(0, 1) @ kernels.transpose(0, 1)
        joined = joined + share_BNGL.reshape(batch * tokens, _HEADS, _LEADS).transpose(0, 1) @ shifts.transpose(0, 1)
        # The mean of the leads times twelve is the sum that the twelve-lead encoder's first layer makes.
        joined_BNF = _LEADS * joined.transpose(0, 1).reshape(batch, tokens, -1)
        return functional.gelu(self.norm(self.weights(joined_BNF)))

    def _shares(self, taps_BNLK: Tensor, present_BL: Tensor) -> Tensor:
        """How much of each token a head takes from each lead: 1 in all over the leads present, 0 where none is."""
        features_BNLS = functional.gelu(self.score_features(taps_BNLK) + self.score_embedding_LS)
        scores_BNGL = self.scores(features_BNLS).transpose(2, 3)
        present_B11L = present_BL[:, None, None]
        return scores_BNGL.masked_fill(~present_B11L, _NOTHING).softmax(dim=-1) * present_B11L

    @torch.no_grad()
    def start_from(self, first: CausalConvolution) -> None:
        """Take the weights of a twelve-lead first layer; with all leads present the output is the same."""
        self.features_KF.copy_(torch.eye(self.kernel).repeat(1, _LEADS))
        self.embedding_scale_LF.copy_(torch.eye(_LEADS).repeat_interleave(self.kernel, dim=1))
        self.embedding_shift_LF.zero_()
        nn.init.zeros_(self.scores.weight)
        weight_DKL = first.weights.weight.view(-1, self.kernel, _LEADS)
        self.weights.weight.copy_(weight_DKL.mT.flatten(1))
        self.weights.bias.copy_(first.weights.bias)
        self.norm.load_state_dict(first.norm.state_dict())


class AnyLeadEncoder(nn.Module):
    """The stem for any leads, then convolutions and `out` as in the twelve-lead encoder."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.stem = LeadStem(config)
        self.layers = nn.ModuleList(
            CausalConvolution(config.width, config.width, kernel, stride)
            for kernel, stride in zip(config.kernels[1:], config.strides[1:], strict=True)
        )
        self.out = Linear(config.width, config.width)

    def forward(self, waveform_BLT: Tensor) -> Tensor:
        """Turn millivolt `[B, L, T]`, zero where a lead is absent, into tokens `[B, T // hop, D]`."""
        x_BND = self.stem(waveform_BLT)
        for layer in self.layers:
            y_BND = layer(x_BND)
            x_BND = x_BND + y_BND if y_BND.shape == x_BND.shape else y_BND
        return self.out(x_BND)

    def start_from(self, teacher: Encoder) -> None:
        """Take the weights of a twelve-lead encoder; with all leads present the tokens are the same."""
        first, *rest = teacher.layers
        assert isinstance(first, CausalConvolution), "the first layer of every encoder"
        self.stem.start_from(first)
        for layer, known in zip(self.layers, rest, strict=True):
            layer.load_state_dict(known.state_dict())
        self.out.load_state_dict(teacher.out.state_dict())
