"""MMEngine's Runner on machines with and without CUDA."""

from copy import deepcopy

from mmengine.config import Config
from mmengine.runner import Runner
from mmseg.registry import RUNNERS

from .cpu import prepare_cpu
from .variables import apply_variables


@RUNNERS.register_module()
class AnywhereRunner(Runner):
    """The Runner, and without CUDA one whose processes talk through gloo.

    MMEngine asks for a CUDA device as soon as there are several processes. With
    ``runner_type='AnywhereRunner'`` in a config the tools of mmseg build this one.
    Variables of dataset configs that were set anew take effect, see
    ``apply_variables``.
    """

    @classmethod
    def from_cfg(cls, cfg: Config) -> 'AnywhereRunner':
        """Build a runner from a config, which is not changed."""
        config = deepcopy(cfg)  # a copy of its own would share what lies deeper
        apply_variables(config)
        prepare_cpu(config)
        return super().from_cfg(config)
