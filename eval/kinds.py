"""The kinds of evaluation there are, in the order in which a report shows them."""

from eval.concept.kind import CONCEPT
from eval.depth.kind import ATTACK
from eval.i2p.kind import I2P
from eval.kind.kind import Kind
from eval.quality.kind import QUALITY

KINDS: tuple[Kind, ...] = (CONCEPT, ATTACK, I2P, QUALITY)
