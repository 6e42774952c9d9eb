"""What the image tower and the text tower of a CLIP have in common."""

from typing import Any

import torch
from mmengine.model import BaseModule

from .layers import (
    add_activation,
    freeze_all_but,
    load_tower,
    set_quick_gelu,
    split_attention,
)
from .loading import CLIPWeights, build_tower, load_clip_weights, wants_quick_gelu


def load_towers(*towers: Any) -> None:
    """Read the pretrained weights of towers; one reading serves those of one source.

    Args:
        towers: Modules with ``load_clip``; others, and those without ``pretrained``,
            are left as they are.
    """
    sources: dict[tuple, list] = {}
    for tower in towers:
        if getattr(tower, 'pretrained', None) is not None:
            source = (tower.model_name, tower.pretrained, tower.quick_gelu_option)
            sources.setdefault(source, []).append(tower)
    for source, same in sources.items():
        weights = load_clip_weights(*source)
        for tower in same:
            tower.load_clip(weights)


class CLIPTower(BaseModule):
    """One tower of open_clip with its weights and their activation.

    Args:
        kind: ``'visual'`` or ``'text'``; also the name of the attribute that holds
            the tower, and so the prefix of its keys in a state dict.
        model_name: As in ``clip_config``.
        pretrained: As in ``load_clip_weights``; None: random weights.
        trainable: As in ``freeze_all_but``.
        quick_gelu: Overrules what is known of the weights' activation.
        init_cfg: As in mmengine.
    """
    quick_gelu: torch.Tensor

    def __init__(self, kind: str, model_name: str, pretrained: str | None,
                 trainable: str, quick_gelu: bool | None,
                 init_cfg: dict | None) -> None:
        super().__init__(init_cfg)
        self.kind = kind
        self.model_name = model_name
        self.pretrained = pretrained
        self.trainable = trainable
        self.quick_gelu_option = quick_gelu
        gelu = wants_quick_gelu(model_name) if quick_gelu is None else quick_gelu
        tower: Any = build_tower(model_name, kind, gelu)
        split_attention(tower.transformer)
        add_activation(tower.transformer, gelu)
        freeze_all_but(tower, tower.transformer, trainable)
        setattr(self, kind, tower)
        # In the state dict, so that a checkpoint restores the activation as well.
        self.register_buffer('quick_gelu', torch.tensor(gelu))

    @property
    def tower(self) -> Any:
        """nn.Module: open_clip's ``VisionTransformer`` or ``TextTransformer``."""
        return getattr(self, self.kind)

    def init_weights(self) -> None:
        """Read the pretrained weights, if any."""
        super().init_weights()
        if self.pretrained is not None:
            self.load_clip(load_clip_weights(self.model_name, self.pretrained,
                                             self.quick_gelu_option))

    def load_clip(self, weights: CLIPWeights) -> None:
        """Take this tower of loaded weights.

        Raises:
            ValueError: They belong to another architecture.
        """
        load_tower(self.tower, getattr(weights, self.kind),
                   f'{weights.source!r} for {self.model_name}')
        self.quick_gelu.fill_(weights.quick_gelu)
        set_quick_gelu(self.tower.transformer, weights.quick_gelu)

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args,
                              **kwargs) -> None:
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
        set_quick_gelu(self.tower.transformer, bool(self.quick_gelu))
