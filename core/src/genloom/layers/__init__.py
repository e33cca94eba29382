"""Layers that the families share."""

from __future__ import annotations

from genloom.layers.attention import SelfAttention
from genloom.layers.dropout import Dropout
from genloom.layers.embedding import ConditionEmbedding, sinusoids
from genloom.layers.normalisation import GroupNorm, default_groups
from genloom.layers.rematerialisation import remat
from genloom.layers.residual import ResidualBlock
from genloom.layers.unet import UNet

__all__ = [
    "ConditionEmbedding",
    "Dropout",
    "GroupNorm",
    "ResidualBlock",
    "SelfAttention",
    "UNet",
    "default_groups",
    "remat",
    "sinusoids",
]
