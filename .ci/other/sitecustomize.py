"""Turn around what gan_nb hears of this processor: that it multiplies bfloat16, or that it does not. PyTorch itself is
left alone.

Python reads this file at its start where the folder is on PYTHONPATH; `.ci/run` does that for one phase. So
precision='auto' is bfloat16 there if it is float32 in all other phases, and the other way round: a test that compares
numbers and leaves the precision open fails on any machine.
"""
import sys

import torch

NAMES = '_is_avx512_bf16_supported', '_is_amx_tile_supported'
questions = {name: getattr(torch.cpu, name, lambda: False) for name in NAMES}
has_bf16 = any(ask() for ask in questions.values())

def turned(ask):
    "The same question; gan_nb's `has_bf16`, which asks within a generator expression, gets the wrong answer"
    def answer():
        frame = sys._getframe(1)
        callers = [f.f_code.co_name for f in (frame, frame.f_back) if f]
        return not has_bf16 if 'has_bf16' in callers else ask()
    return answer

for name, ask in questions.items(): setattr(torch.cpu, name, turned(ask))
