"""Words that the screen knows: which tell nothing, which belong to everybody.

Lists, not decisions. They were written for English, mathematics and Python; a word that is missing
makes the screen stricter or more lenient by that word, never wrong in kind.
"""

from __future__ import annotations

import builtins
import importlib
import keyword
import sys
from functools import lru_cache


def _set(*lines: str) -> frozenset[str]:
    return frozenset(word for line in lines for word in line.split())


# Function words: they tell nothing of a task.
FUNCTION = _set(
    "a an the and or nor but if then else so as at by for from in into of off on onto out over",
    "per than that to up via with within without is are was were be been being am do does did",
    "done has have had having can could may might must shall should will would not no it its",
    "this these those there their they them he she his her him you your we our us i me my who",
    "whom whose which what when where why how each every all any some both either neither one",
    "ones two other another same such only also just more most less least much many few very too",
    "about above after again against before below between down during under until while because",
    "s t e g",
)

# Words of the trade: half as telling as others, since any lesson of the field is made of them.
TRADE = _set(
    "number numbers value values sum sums product total count list lists string strings integer",
    "integers element elements result results answer answers final function functions input",
    "output equation equations side sides term terms step steps way ways case cases problem",
    "solution solutions method formula expression variable variables code return returns find",
    "get check use using given first last next time times order set sets item items line lines",
    "file data type name names key keys field fields request response call calls tool tools",
    "error test tests true false zero point points digit digits power square root",
)

# Terms of several words that have no other name: quoting them is no copying.
TERMS = tuple(
    tuple(term.split())
    for term in (
        "greatest common divisor",
        "least common multiple",
        "highest common factor",
        "chinese remainder theorem",
        "little theorem",
        "quadratic formula",
        "prime factorization",
        "prime factorisation",
        "arithmetic mean",
        "geometric mean",
        "arithmetic sequence",
        "geometric sequence",
        "standard deviation",
        "pythagorean theorem",
        "law of cosines",
        "law of sines",
        "least squares",
        "partial fractions",
        "binary search tree",
        "dynamic programming",
        "regular expression",
        "floating point",
        "base case",
        "real numbers",
        "positive integer",
        "positive integers",
        "complex numbers",
        "common fraction",
        "lowest terms",
        "square root",
        "right triangle",
        "case sensitive",
        "case insensitive",
        "off by one",
        "client credentials",
        "access token",
        "status code",
    )
)

# Names that are nobody's in particular: technology, mathematics, the calendar, currencies.
WELL_KNOWN = _set(
    "api apis json jsonl xml yaml toml csv html http https rest graphql sql url uri id ids uuid",
    "utc gmt iso rfc utf ascii unicode pdf regex oauth jwt tls ssl ssh cli sdk cpu gpu ram os io",
    "ui ai llm mcp get post put patch delete head options bearer basic authorization javascript",
    "java typescript python numpy sympy pandas scipy matplotlib pytest github latex markdown",
    "unix linux windows posix bash stdout stderr stdin eof eol bom fifo lifo dfs bfs dp crud",
    "acid etag cors ttl sha md5 base64 utf8 gcd lcm gcf hcf am gm hm qm rhs lhs iff qed pemdas",
    "wlog vieta pythagoras pythagorean fermat euler euclid euclidean cauchy schwarz heron bayes",
    "bayesian fibonacci lucas pascal newton gauss gaussian stirling bernoulli catalan lagrange",
    "laplace taylor maclaurin cramer ptolemy menelaus ceva stewart apollonius descartes",
    "cartesian diophantine legendre wilson bezout horner simpson riemann fourier hamming",
    "levenshtein dijkstra kadane eratosthenes markov poisson chebyshev jensen hölder minkowski",
    "muirhead burnside möbius mobius binet chinese boolean venn argand moivre abel hardy",
    "ramanujan monday tuesday wednesday thursday friday saturday sunday january february march",
    "april may june july august september october november december easter christmas gregorian",
    "julian roman arabic latin greek english german french spanish italian eur usd gbp chf jpy",
    "euro euros dollar dollars cent cents pound pounds celsius fahrenheit kelvin yyyy mm dd hh",
    "ss",
)

# Words with which tasks and sentences open: a capital says nothing there.
OPENERS = FUNCTION | _set(
    "let find compute determine evaluate simplify express calculate write given suppose consider",
    "assume show prove solve three first second please return create implement define function",
    "note example input output answer question problem task use using give make take need want",
    "report book check tell look search list update send change add remove set put go see say",
    "pick choose figure don now next last here let's i'm i'd i've when's",
)

# Parts of models' names that are common words.
COMMON_IN_MODEL_NAMES = _set(
    "chat instruct base code coder turbo mini large small medium flash preview math model agent",
    "pro max plus lite nano high low fast latest beta alpha open vision text it hf awq gguf orca",
    "falcon command nova step solar reka yi lemur star phi gem seed sky air next thinking",
    "reasoning judge interpreter opencodeinterpreter python hermes dolphin tulu arctic granite",
    "sonnet opus haiku scout maverick titan palm bison",
)

_ECOSYSTEM = _set(
    "np numpy pd pandas sympy scipy sp plt nx networkx pytest hypothesis isclose allclose array",
    "arange linspace astype reshape dataframe read_csv to_numeric groupby drop_duplicates matrix",
    "reset_index sort_values value_counts fillna isna notna symbols solve solveset linsolve",
    "nonlinsolve nsolve simplify expand factor rational evalf subs integrate isprime factorint",
    "divisors totient integer_nthroot perfect_power mod_inverse n_order poly lambdify sqrt pi oo",
    "nan inf utf8 ascii stdin stdout stderr argv args kwargs init self cls",
)
_MODULES = (
    "bisect collections copy datetime decimal fractions functools heapq itertools json math "
    "operator os random re statistics string sys textwrap time typing"
).split()
_KINDS = (str, bytes, int, float, complex, list, dict, set, tuple, Exception, object)


@lru_cache(maxsize=1)
def _python_names() -> frozenset[str]:
    """Names of the language and its library, as the interpreter knows them. Asked for once."""
    names = {*dir(builtins), *keyword.kwlist, *sys.stdlib_module_names}
    for kind in _KINDS:
        names.update(dir(kind))
    for name in _MODULES:
        module = importlib.import_module(name)
        for member, value in vars(module).items():
            names.add(member)
            if isinstance(value, type):
                names.update(dir(value))
    return frozenset(names) | _ECOSYSTEM


@lru_cache(maxsize=1)
def _in_any_case() -> frozenset[str]:
    return frozenset(name.casefold() for name in _python_names())


def known_name(name: str) -> bool:
    """Whether a name, dotted or not, is a well-known one of Python and its ecosystem."""
    pieces = name.casefold().removesuffix("()").split(".")
    return all(piece in _in_any_case() for piece in pieces)


def known_type(name: str) -> bool:
    """Whether a capitalised word is a name of Python as it stands: "Counter", but not "Max"."""
    return name in _python_names()
