"""Layers that the families share."""

from __future__ import annotations

from genloom.layers.attention import SelfAttention
from genloom.layers.convolutions import Convolutions, convolution, sides
from genloom.layers.dropout import Dropout
from genloom.layers.embedding import ConditionEmbedding, sinusoids
from genloom.layers.folding import fold, unfold
from genloom.layers.guidance import guided, hide_labels
from genloom.layers.mlp import ResidualMLP
from genloom.layers.normalisation import GroupNorm, default_groups
from genloom.layers.rematerialisation import remat
from genloom.layers.residual import ResidualBlock
from genloom.layers.unet import UNet

__all__ = [
    "ConditionEmbedding",
    "Convolutions",
    "Dropout",
    "GroupNorm",
    "ResidualBlock",
    "ResidualMLP",
    "SelfAttention",
    "UNet",
    "convolution",
    "default_groups",
    "fold",
    "guided",
    "hide_labels",
    "remat",
    "sides",
    "sinusoids",
    "unfold",
]
