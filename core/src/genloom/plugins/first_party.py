"""GenLoom's own plugins: what a bare name means, to install and to advise."""

from __future__ import annotations

__all__ = ["FIRST_PARTY"]

#: Bare name -> distribution of GenLoom's own plugins.
FIRST_PARTY = {
    "diffusion": "genloom-diffusion",
    "gan": "genloom-gan",
    "language": "genloom-language",
    "post": "genloom-post",
    "vae": "genloom-vae",
}
