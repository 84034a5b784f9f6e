"""Names for containers that were given none: an adjective and somebody whose work ours stands on."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


TRIES: Final = 6  # before a digit is added

ADJECTIVES: Final = _words(
    """able airy amber ample apt azure balmy bold brave breezy bright brisk calm candid careful cheery chirpy
    civil clear clever cosy crisp curious daring deft dapper eager early easy earnest fair fearless fine
    fleet fond frank fresh friendly gentle glad golden graceful grand handy hardy hearty helpful honest
    hopeful humble jaunty jolly keen kind lasting lively loyal lucid lucky mellow merry mild modest neat
    nimble noble patient placid plucky polite proud prudent quick quiet ready robust rosy sage salty serene
    shrewd silent sincere sleek smooth snug sound spry steady stout sturdy sunny sure swift tidy tranquil
    trusty upbeat valiant vivid warm wily windy wise witty zesty"""
)
SURNAMES: Final = _words(
    """abbe ampere archimedes babbage banneker bell bernoulli bohr boole bose brahe cantor cerf chen copernicus
    cray curie dalton darwin davinci descartes dijkstra dirac eratosthenes euclid euler faraday fermat fermi
    feynman fibonacci franklin galileo galois gauss germain godel hamilton hamming heron hertz hilbert hooke
    hopper huygens hypatia jacobi jacquard jemison joule kepler khwarizmi knuth kovalevskaya lagrange lamarr
    laplace leibniz lisitsyn liskov lomonosov lovelace maxwell mccarthy meitner mendel mendeleev mirzakhani
    morse nash newton nightingale noether ohm pascal pasteur perlman planck poincare pythagoras ramanujan
    ride riemann ritchie rubin shannon shen somerville stallman tesla thales thompson torvalds tu turing
    volta watt wiener wu yonath zhang zheng zu zuse"""
)


def generate(taken: Callable[[str], bool], choose: Callable[[tuple[str, ...]], str] = secrets.choice) -> str:
    """Return a name of the form ``brave_euler`` that nobody has; after a few tries a digit helps."""
    attempt = 0
    while True:
        name = f"{choose(ADJECTIVES)}_{choose(SURNAMES)}"
        if attempt >= TRIES:
            name += str(attempt % 10)
        if not taken(name):
            return name
        attempt += 1
