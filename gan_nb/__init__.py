"""Generative adversarial networks, one notebook at a time: a book that is also a library

Modules:

- `gan_nb.core`: Devices, seeds, latents, and the three pictures that the whole book is told in"""

__version__ = "0.1.0"
