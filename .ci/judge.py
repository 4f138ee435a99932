#!/usr/bin/env python3
"""Judge a run on the digits with a classifier that never saw a GAN; exit status 1 if it is worse than the book says.

    python .ci/judge.py RUN

A support vector machine is fitted on one half of the real scans. Of 2,000 samples it must find every digit at least 5 %
of the time, and be over 90 % sure of at least 55 %; of the other half of the real scans it is that sure of 76 %.
"""
import sys, warnings

import numpy as np
import torch.nn.functional as F
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.svm import SVC

from gan_nb.checkpoint import load_run

def sure_and_rarest(p):
    "From probabilities (N, 10): the share over 0.9, and the share of the rarest digit"
    return (p.max(1) > .9).mean(), np.bincount(p.argmax(1), minlength=10).min()/len(p)

def main(run):
    warnings.filterwarnings('ignore', category=FutureWarning)
    x, held_out, y, _ = train_test_split(*load_digits(return_X_y=True), test_size=.5, random_state=0)
    svm = SVC(gamma=.001, probability=True, random_state=0).fit(x, y)
    images = F.interpolate((load_run(run, device='cpu').sample(2000, seed=1) + 1)/2, size=(8, 8), mode='area')
    sure, rarest = sure_and_rarest(svm.predict_proba(images.flatten(1).numpy()*16))
    print(f'over 90 % sure of {sure:.1%} of the samples (of real scans '
          f'{sure_and_rarest(svm.predict_proba(held_out))[0]:.1%}); the rarest digit {rarest:.1%}')
    if sure < .55 or rarest < .05: sys.exit(1)

if __name__ == '__main__': main(*sys.argv[1:])
