"""Generative adversarial networks, one notebook at a time: a book that is also a library

A generator turns noise into images, a discriminator tells them from real ones, and each learns from the other. This
package is a book of notebooks that builds that game, explains it and tests it; each chapter is a module.

```python
from gan_nb.all import *
gan = recipe('rpgan').trainer(load_data('photos/', size=64))
gan.fit(20_000, [Progress(), Checkpoint('runs/photos')])
show_images(gan.sample(64, seed=0))
```

Pages without a module:

- [Where to start](https://gan-nb.github.io/gan_nb/start.html): three ways in, and which recipe for which data
- [The first GAN](https://gan-nb.github.io/gan_nb/first_gan.html): fifteen lines on eight Gaussians, how they fail, and which chapter repairs what
- [Dirac-GAN](https://gan-nb.github.io/gan_nb/tutorials/dirac.html): the smallest GAN, and what converges
- [Mode collapse](https://gan-nb.github.io/gan_nb/tutorials/mode_collapse.html): what it looks like, what mends it, counted by published protocols
- [Wrong in print](https://gan-nb.github.io/gan_nb/tutorials/wrong_in_print.html): mistakes in formulas and code, each with a test
- [MNIST](https://gan-nb.github.io/gan_nb/tutorials/mnist.html), [CIFAR-10](https://gan-nb.github.io/gan_nb/tutorials/cifar10.html), [images of your own](https://gan-nb.github.io/gan_nb/tutorials/bring_your_own.html)
- [Classes](https://gan-nb.github.io/gan_nb/tutorials/conditional.html), [few images](https://gan-nb.github.io/gan_nb/tutorials/small_data.html), [recipes compared](https://gan-nb.github.io/gan_nb/tutorials/gallery.html)
- [Crashes and damage](https://gan-nb.github.io/gan_nb/tutorials/faults.html), [speed](https://gan-nb.github.io/gan_nb/tutorials/speed.html)
- [When it fails](https://gan-nb.github.io/gan_nb/when_it_fails.html): symptom, cause, remedy
- [Glossary](https://gan-nb.github.io/gan_nb/glossary.html) and [history](https://gan-nb.github.io/gan_nb/history.html), 2014 to 2024
- [Results](https://gan-nb.github.io/gan_nb/tutorials/results.html): published figures, and ours where we ran the same
- [API](https://gan-nb.github.io/gan_nb/api.html): every public name

Modules:

- `gan_nb.alarms`: Three numbers that tell how a run is doing, and a voice that speaks when they go wrong
- `gan_nb.archives`: Which files of a folder or a zip are the data, and what their folders say of them
- `gan_nb.augment`: What to do when there are few images: show D each of them in many ways, and the fakes likewise
- `gan_nb.batches`: Endless batches that a seed and a position decide, and what all sets of images share
- `gan_nb.callbacks`: Who watches a run, and when its numbers are read
- `gan_nb.charts`: Curves as SVG, drawn in a millisecond and without a library
- `gan_nb.checkpoint`: A run as a folder: whole at every moment, readable without us, unable to execute anything
- `gan_nb.cli`: `gan_train`, `gan_sample`, `gan_eval`: the whole book from a shell
- `gan_nb.clicks`: Buttons that answer while a notebook cell is running
- `gan_nb.core`: Latents, seeds, and the pictures that the whole book is told in
- `gan_nb.data`: Samples of an unknown distribution, as endless batches that a seed and a position decide
- `gan_nb.descriptions`: What a run was made of, as data from which it can be made again
- `gan_nb.discriminator`: From a point or a picture to one number, and the gradient of that number
- `gan_nb.engines`: How a cost becomes gradients: one operation after the other, as one compiled program, or as one recording of a GPU
- `gan_nb.explore`: Walks through the latent space, the directions that matter, and a panel to find one's way
- `gan_nb.features`: What two sets of images are compared by, with a name and a hash
- `gan_nb.files`: Whole or not there, and nothing left lying about
- `gan_nb.game`: Who plays, and what each player pays
- `gan_nb.games`: A discriminator that also names classes, a generator that looks ahead
- `gan_nb.generator`: From a latent to a point or a picture
- `gan_nb.images`: One picture, however it was stored, as the bytes that a network is trained on
- `gan_nb.kernels`: Convolutions that are differentiated twice, and penalties that need no second derivative
- `gan_nb.layers`: What generators and discriminators are both built of
- `gan_nb.live`: See it train: curves, samples and numbers while a run goes on, with a handle to stop it
- `gan_nb.losses`: What the two players want, as pure functions of logits
- `gan_nb.metrics`: What a generator is worth, in numbers that say how they were made
- `gan_nb.optimizers`: Which numbers an optimizer may have, and how one is made for a network
- `gan_nb.page`: One HTML file that opens from the disk, without a network, and in which every text is text
- `gan_nb.parts`: What a run is made of, by name, and what makes a setting valid
- `gan_nb.penalties`: How large the gradient of D may be, and where
- `gan_nb.players`: A network, the optimizer that moves it, and how often it moves
- `gan_nb.published`: MNIST, Fashion-MNIST and CIFAR-10, by name
- `gan_nb.r3`: Networks without a norm, and a start that makes them trainable
- `gan_nb.recipes`: Ten years of settings as data: a name, its numbers, and a trainer for any images
- `gan_nb.report`: Take a run home as one page, and put runs side by side
- `gan_nb.resnet`: Deep networks that learn, with classes and attention
- `gan_nb.runs`: What a run leaves on the disk, and how to read it without a trainer
- `gan_nb.shell`: One line for each failure, an end at any moment, and readers who leave
- `gan_nb.states`: The state of a trainer as tensors and numbers, and what of a stranger's file may become one
- `gan_nb.store`: A run folder that is whole at every moment, and that one process at a time writes to
- `gan_nb.stream`: Images that are decoded when their turn comes, by worker processes
- `gan_nb.training`: Two players, one loop: first the naive one, then `Trainer`, in which neither touches what belongs to the other
- `gan_nb.video`: A walk, or a training run, as a GIF or an MP4"""

__version__ = "0.1.0"
