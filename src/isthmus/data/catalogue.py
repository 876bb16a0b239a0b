"""The catalogue: sets that have a name, with licence, citation and checksums, and where to get them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import named
from .catalogue_download import PublishedFile
from .dataset import DataSet

__all__ = ["CATALOGUE", "NamedSet"]


@dataclass(frozen=True)
class NamedSet:
    """What is known of a set.

    Attributes:
        name: on the command line and in `load_data`.
        title: in a few words.
        licence: as its publishers give it.
        citation: what to cite.
        shapes: of its training, validation and test examples, as published; () where a part is not its own.
        read: from the paths of its files, or of its archive, to the data.
        files: what was published.
        archive: NumPy's file that is taken instead of them, or None.
        content: SHA-256 of the numbers themselves, part after part, from whichever file they came; None where not
            known.
        source: where they come from, for a person.
    """

    name: str
    title: str
    licence: str
    citation: str
    shapes: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]
    read: Callable[[Sequence[Path]], DataSet]
    files: tuple[PublishedFile, ...] = ()
    archive: str | None = None
    content: str | None = None
    source: str = ""

    @property
    def size(self) -> int | None:
        """Bytes to download, or None where not published."""
        sizes = [file.size for file in self.files]
        return None if None in sizes else sum(size or 0 for size in sizes)

    def load(self, *, download: bool = True) -> DataSet:
        """The data, from `$ISTHMUS_DATA`, from the cache, or else downloaded; see `isthmus.data.fetch`.

        Raises:
            ValueError: they are not to be had, or not what they should be.
        """
        from .catalogue_files import load_set

        return load_set(self, download=download)


def _idx(*addresses: str, sizes: Sequence[int], md5: Sequence[str]) -> tuple[PublishedFile, ...]:
    """The four files of MNIST, and of the sets that took its place."""
    names = [f"{part}-{kind}-ubyte.gz" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]
    return tuple(
        PublishedFile(name, tuple(f"{address}/{name}" for address in addresses), size, f"md5:{checksum}")
        for name, size, checksum in zip(names, sizes, md5, strict=True)
    )


def _amat(*parts: tuple[str, int, str]) -> tuple[PublishedFile, ...]:
    base = "http://www.cs.toronto.edu/~larocheh/public/datasets/binarized_mnist"
    return tuple(
        PublishedFile(f"{name}.amat", (f"{base}/{name}.amat",), size, f"sha256:{checksum}")
        for name, size, checksum in parts
    )


_DIGITS = NamedSet(
    "digits",
    "handwritten digits, 8 x 8",
    "CC BY 4.0; comes with scikit-learn",
    "Alpaydin, Kaynak (1998). Optical Recognition of Handwritten Digits. UCI Machine Learning Repository.",
    ((1797, 8, 8), (), ()),
    named.digits,
    source="scikit-learn",
)

_MNIST = NamedSet(
    "mnist",
    "handwritten digits, 28 x 28",
    "CC BY-SA 3.0",
    "LeCun, Bottou, Bengio, Haffner (1998). Gradient-based learning applied to document recognition. Proceedings of "
    "the IEEE 86.",
    ((60_000, 28, 28), (), (10_000, 28, 28)),
    named.mnist,
    _idx(
        "https://ossci-datasets.s3.amazonaws.com/mnist",
        "https://storage.googleapis.com/cvdf-datasets/mnist",
        sizes=(9_912_422, 28_881, 1_648_877, 4_542),
        md5=(
            "f68b3c2dcbeaaa9fbdd348bbdeb94873",
            "d53e105ee54ea40749a09fcbcd1e9432",
            "9fb629c4189551a2d022fa330f9573f3",
            "ec29112dd5afa0611ce80d1b7f02629c",
        ),
    ),
    "mnist.npz",
    "06b0d1f124c4e5fa796686ade41a9b778edacc8622f2195a352ef479ad44fc16",
    "Y. LeCun, C. Cortes, C. Burges",
)

_FASHION = NamedSet(
    "fashion-mnist",
    "pictures of clothes, 28 x 28",
    "MIT",
    "Xiao, Rasul, Vollgraf (2017). Fashion-MNIST: a novel image dataset for benchmarking machine learning algorithms. "
    "arXiv:1708.07747.",
    ((60_000, 28, 28), (), (10_000, 28, 28)),
    named.fashion_mnist,
    _idx(
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion",
        sizes=(26_421_880, 29_515, 4_422_102, 5_148),
        md5=(
            "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "25c81989df183df01b3e8a0aad5dffbe",
            "bef4ecab320f06d8554ea6380940ec79",
            "bb300cfdad3c16e7a12a480ee83cd310",
        ),
    ),
    "fashion_mnist.npz",
    source="Zalando Research",
)

_OMNIGLOT = NamedSet(
    "omniglot",
    "characters of 50 alphabets, 28 x 28, in Burda's split",
    "MIT",
    "Lake, Salakhutdinov, Tenenbaum (2015). Human-level concept learning through probabilistic program induction. "
    "Science 350. Split and size: Burda, Grosse, Salakhutdinov (2016). Importance weighted autoencoders. ICLR.",
    ((24_345, 28, 28), (), (8_070, 28, 28)),
    named.omniglot,
    (PublishedFile("chardata.mat", ("https://github.com/yburda/iwae/raw/master/datasets/OMNIGLOT/chardata.mat",)),),
    "omniglot.npz",
    source="B. Lake, through Y. Burda",
)

_BINARIZED = NamedSet(
    "binarized-mnist",
    "MNIST in black and white, binarised once and for all by Larochelle; no labels",
    "CC BY-SA 3.0, as MNIST",
    "Larochelle, Murray (2011). The neural autoregressive distribution estimator. AISTATS. After Salakhutdinov, "
    "Murray (2008). On the quantitative analysis of deep belief networks. ICML.",
    ((50_000, 28, 28), (10_000, 28, 28), (10_000, 28, 28)),
    named.binarized_mnist,
    _amat(
        ("binarized_mnist_train", 78_400_000, "ad693b29f94c14277b095f5238ddefbbdaaae0939789dd2f4f0205278cee3e4d"),
        ("binarized_mnist_valid", 15_680_000, "1de3d397c40fe8eeb33dafd4099a1f665ec01e96d9be234aaeeac8a34930e2e2"),
        ("binarized_mnist_test", 15_680_000, "e6687bfea3f820c174f33b7865140b2a2dd2930ef786f35d45795fc193b5ab2c"),
    ),
    "binarized_mnist.npz",
    "f53c8930b2d4d9d5c22e7c14483e832ccf9dd7374cd78709deb35a8060de15e0",
    "H. Larochelle",
)

_FREY = NamedSet(
    "frey-faces",
    "frames of a film of one face, 28 x 20",
    "none stated",
    "Roweis, Saul, Hinton (2002). Global coordination of local linear models. NIPS.",
    ((1_965, 28, 20), (), ()),
    named.frey_faces,
    (PublishedFile("frey_rawface.mat", ("https://cs.nyu.edu/~roweis/data/frey_rawface.mat",)),),
    "frey_faces.npz",
    "2438ba4f0d2a6bd8bac43de756141eaa33c8d248dd613d464bdb1210d9b7af78",
    "B. Frey, through S. Roweis",
)

_FAITHFUL = NamedSet(
    "old-faithful",
    "eruptions of a geyser: length and wait, minutes",
    "GPL-2 or GPL-3, as R",
    "Azzalini, Bowman (1990). A look at some data on the Old Faithful geyser. Applied Statistics 39. Haerdle (1991). "
    "Smoothing techniques with implementation in S.",
    ((272, 2), (), ()),
    named.old_faithful,
    (PublishedFile("faithful.csv", ("https://vincentarelbundock.github.io/Rdatasets/csv/datasets/faithful.csv",)),),
    "old_faithful.npy",
    "c1528a01fabb3e454c6e9a895d099e20295b2606b76cf1c69986b3f929578705",
    "R, through Rdatasets",
)

CATALOGUE: dict[str, NamedSet] = {
    each.name: each for each in (_DIGITS, _MNIST, _FASHION, _OMNIGLOT, _BINARIZED, _FREY, _FAITHFUL)
}
"""Sets by name."""
