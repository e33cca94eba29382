"""GenLoom's own plugins: what a bare name means, to install and to advise."""

from __future__ import annotations

__all__ = ["FIRST_PARTY", "THEIR_COMMANDS", "THEIR_KINDS"]

#: Bare name -> distribution of GenLoom's own plugins.
FIRST_PARTY = {
    "adapt": "genloom-adapt",
    "audio": "genloom-audio",
    "demo": "genloom-demo",
    "diffusion": "genloom-diffusion",
    "gan": "genloom-gan",
    "language": "genloom-language",
    "post": "genloom-post",
    "vae": "genloom-vae",
}

#: Command → the bare name of the plugin that adds it.
THEIR_COMMANDS = {
    "adopt": "language",
    "chat": "language",
    "demo": "demo",
    "prompt": "language",
    "publish": "language",
    "restore": "diffusion",
    "sequence": "adapt",
    "update": "adapt",
}

#: Kind of component → the bare name of the plugin that brings some, where the core has none.
THEIR_KINDS = {"adapter": "adapt", "remedy": "adapt"}
