"Every public name of every chapter, in one import"
from gan_nb.parts import *
from gan_nb.files import *
from gan_nb.core import *
from gan_nb.data import *
from gan_nb.generator import *
from gan_nb.discriminator import *
from gan_nb.losses import *
from gan_nb.penalties import *
from gan_nb.training import *
from gan_nb.metrics import *
from gan_nb.runs import *
from gan_nb.store import *
from gan_nb.monitor import *
from gan_nb.checkpoint import *
from gan_nb.recipes import *
from gan_nb.cli import *
from gan_nb.augment import *
