"""The protocol between image encoder, neck, head and segmentor.

``DCPCLIP`` runs any parts that keep to it:

1. the **image encoder** (the ``backbone``) makes ``CLIPFeatures`` of images;
2. the selection chooses (image, category) pairs;
3. the **neck** prepares what all categories of an image share, once per image
   (``CategoryNeck.prepare``), and makes maps of pairs (its ``forward``);
4. the **head** does the same (``CategoryHead.prepare``) and makes logits of them.

At test time pairs are decoded some at a time, so ``forward`` may see only some of an
image's categories: what depends on all of them belongs in ``prepare``, or the neck says
that it ``needs_all``.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol, TypeVar, runtime_checkable

from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from .structures import AlignedFeatures, CLIPFeatures, Pairs


@runtime_checkable
class ImageEncoder(Protocol):
    """What ``DCPCLIP`` asks of a backbone.

    Attributes:
        joint_dims: D, width of ``cls`` and ``patch``.
        shallow_dims: Widths of the ``shallow`` maps, in order.
        gives_attention: Whether it can give ``attention`` (A_CLIP) and
            ``mean_attention``.
    """
    joint_dims: int
    shallow_dims: tuple[int, ...]
    gives_attention: bool

    def __call__(self, images: Tensor, with_attention: bool = False,
                 with_mean_attention: bool = False) -> CLIPFeatures:
        """Encode normalised images [B, 3, H, W] of any size."""


class CategoryNeck(BaseModule):
    """Makes maps of (image, category) pairs from features and words.

    Attributes:
        cost_dims: D_c, width of the maps in ``AlignedFeatures``.
        uses_templates: Whether ``forward`` gets the embedding of each template,
            [M, P, D], or only their mean, [M, 1, D].
        takes_filled_up: Whether it minds ``Pairs.valid``, so that it can be exported.
        needs_all: Whether ``forward`` must see all categories of an image at once; its
            memory then grows with their number.
    """
    cost_dims: int
    uses_templates: ClassVar[bool] = True
    needs_all: ClassVar[bool] = False
    takes_filled_up: ClassVar[bool] = False
    at_most: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def sizes(cls, backbone: ImageEncoder, num_templates: int) -> dict[str, Any]:
        """Arguments of the constructor that other parts decide.

        Args:
            backbone: The image encoder.
            num_templates: P, prompts per category.
        """
        return {}

    def prepare(self, features: CLIPFeatures, mean: Tensor, pairs: Pairs) -> Any:
        """Once per image: all that its categories share.

        Args:
            features: The encoder's view of B images.
            mean: Unit embeddings averaged over the templates, [M, D].
            pairs: All M pairs of these images.

        Returns:
            Any: As ``take_images`` takes it; None for nothing.
        """
        return None

    def forward(self, features: CLIPFeatures, text: Tensor, pairs: Pairs,
                prepared: Any = None) -> AlignedFeatures:
        """Maps of pairs.

        Args:
            features: The encoder's view of the images of these pairs.
            text: Unit embeddings of the pairs' categories, [M, P, D].
            pairs: M pairs, all or some of those of their images.
            prepared: What ``prepare`` gave for these images. None: ``pairs`` are
                all of them, and it is made here.
        """
        raise NotImplementedError


class CategoryHead(BaseModule):
    """Makes logits of (image, category) pairs from their maps.

    Attributes:
        with_attention: Whether it needs the encoder's attention (A_CLIP).
        activation: What makes probabilities of logits: ``'sigmoid'``, each category for
            itself; or ``'softmax'``, an image's categories against each other. Views
            are averaged as probabilities with the first, as logits with the second.
        loss_decode: The segmentation loss, see ``SelectedBCELoss``, or an
            ``nn.ModuleList`` of several.
    """
    with_attention: bool = False
    activation: str = 'sigmoid'
    loss_decode: nn.Module
    at_most: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def sizes(cls, backbone: ImageEncoder, neck: CategoryNeck) -> dict[str, Any]:
        """Arguments of the constructor that other parts decide.

        Args:
            backbone: The image encoder.
            neck: The neck in front of the head.
        """
        return {}

    @property
    def losses(self) -> list[nn.Module]:
        """list: The losses in ``loss_decode``."""
        losses = self.loss_decode
        return list(losses) if isinstance(losses, nn.ModuleList) else [losses]

    def prepare(self, features: CLIPFeatures) -> Any:
        """Once per image: all that its categories share.

        Args:
            features: The encoder's view of B images.

        Returns:
            Any: As ``take_images`` takes it; None for nothing.
        """
        return None

    def forward(self, features: CLIPFeatures, aligned: AlignedFeatures, pairs: Pairs,
                prepared: Any = None) -> Tensor:
        """Logits of pairs, [M, h, w].

        Args:
            features: The encoder's view of the images of these pairs.
            aligned: Maps of M pairs from the neck.
            pairs: M pairs, all or some of those of their images.
            prepared: What ``prepare`` gave for these images. None: it is made here.
        """
        raise NotImplementedError


Part = TypeVar('Part', CategoryNeck, CategoryHead)


def class_of(config: Mapping) -> type:
    """The class that a config's ``type`` names; the class itself in lazy configs.

    Raises:
        KeyError: No such class is registered.
    """
    kind = config['type']
    if not isinstance(kind, str):
        return kind
    found = MODELS.get(kind)
    if found is None:
        raise KeyError(f'{kind} is not in the model registry: is its module imported '
                       '(custom_imports)?')
    return found


def check_encoder(backbone: nn.Module) -> None:
    """Refuse a backbone that makes no ``CLIPFeatures``.

    Raises:
        ValueError: Says what is missing.
    """
    name = type(backbone).__name__
    if getattr(backbone, 'plain', False):
        raise ValueError(f'DCPCLIP needs the {name} with plain=False; plain=True is '
                         'for the stock heads of an EncoderDecoder')
    missing = [k for k in ImageEncoder.__annotations__ if not hasattr(backbone, k)]
    if missing:
        raise ValueError(
            f'backbone: {name} gives no patch features in the joint space of a CLIP '
            f'(it has no {", ".join(missing)}): use CLIPVisionBackbone or '
            'CLIPConvNeXtBackbone, or write one with the attributes of '
            'mmseg_dcpclip.models.protocol.ImageEncoder')


def wanted_attention(head: CategoryHead, selection: nn.Module) -> dict[str, bool]:
    """Which attention an image encoder is asked for: its arguments.

    Args:
        head: The head; its ``with_attention`` says.
        selection: The selection; its ``with_mean_attention``, if it has one.
    """
    wanted = dict(with_attention=head.with_attention,
                  with_mean_attention=getattr(selection, 'with_mean_attention', False))
    return {name: True for name, value in wanted.items() if value}


def check_attention(backbone: ImageEncoder, head: CategoryHead, selection: nn.Module
                    ) -> None:
    """Refuse a head or selection that needs attention of a backbone without.

    Raises:
        ValueError: Names both and the remedy.
    """
    wanted = () if backbone.gives_attention else wanted_attention(head, selection)
    for argument in wanted:
        part, remedy = {
            'with_attention': (head, 'decode_head.fuse_attention=False'),
            'with_mean_attention': (selection,
                                    "selection.form to another than 'purify'"),
        }[argument]
        raise ValueError(
            f'{"decode_head" if part is head else "selection"}: {type(part).__name__} '
            f'needs attention, and {type(backbone).__name__} gives none: set {remedy}')


def build_part(config: Mapping, kind: type[Part], sizes: Mapping[str, Any], place: str
               ) -> Part:
    """Build a neck or head with the sizes that the other parts decide.

    Args:
        config: Its config; may repeat these sizes, not contradict them.
        kind: Its class, from ``check_kind``.
        sizes: From ``kind.sizes``.
        place: ``'neck'`` or ``'decode_head'``, for messages.

    Raises:
        ValueError: A size contradicts the other parts.
    """
    for name, decided in sizes.items():
        given = config.get(name, decided)
        fits = given <= decided if name in kind.at_most else _same(given, decided)
        if not fits:
            raise ValueError(
                f'{place}.{name} is {given}, but the other parts of the model make it '
                f'{decided}: leave {place}.{name} out of the config, or change them')
    return MODELS.build({**sizes, **config})


def check_kind(config: Mapping, base: type, place: str) -> Any:
    """The class of a neck or head; one that does not keep to the protocol is refused.

    Raises:
        ValueError: Names the class and what to use instead.
    """
    kind = class_of(config)
    if isinstance(kind, type) and issubclass(kind, base):
        return kind
    own = dict(neck='TextGuidedAlignment or CosineNeck',
               decode_head='SpatialEnhancedDecoder or CosineHead')[place]
    raise ValueError(
        f'{place}: {getattr(kind, "__name__", kind)} does not work on (image, '
        f'category) pairs, so DCPCLIP cannot use it there: use {own}, or a subclass '
        f'of {base.__name__}. A stock head of mmseg goes into auxiliary_head, or into '
        'an EncoderDecoder whose backbone is a CLIPVisionBackbone with plain=True')


def _same(given: Any, decided: Any) -> bool:
    if isinstance(given, (list, tuple)) and isinstance(decided, (list, tuple)):
        return list(given) == list(decided)
    return given == decided
