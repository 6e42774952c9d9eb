"""Tests a model on several test sets in one run, in any runner."""

from collections.abc import Mapping
from typing import Any

from mmengine.model import BaseTTAModel, is_model_wrapper
from mmengine.registry import LOOPS as ROOT_LOOPS
from mmengine.runner import BaseLoop, Runner, TestLoop
from mmseg.registry import LOOPS


@LOOPS.register_module()
class BenchmarksTestLoop(BaseLoop):
    """A test loop that goes through several test sets.

    It takes the place of ``TestLoop`` in a config, so that mmseg's own tools test on
    all benchmarks, too: ``test_cfg=dict(type='BenchmarksTestLoop')``. A model of
    test-time augmentation (their ``--tta``) gets pictures through the config's
    ``tta_pipeline``.

    Args:
        runner: The runner.
        dataloader: Unused; runners pass it.
        evaluator: Unused; runners pass it.
        benchmarks: By name ``dataloader`` and ``evaluator`` as in a config, and a
            ``tta_pipeline`` where it is another one. None: ``benchmarks`` of the
            runner's config.
        loop: Type of the loop of each, and its arguments.

    Attributes:
        dataloader: That of the test set at hand; ``runner.test_dataloader`` is this.
        scores: By name what its evaluator reported.

    Raises:
        ValueError: There are no benchmarks, or augmentation has no pipeline.
    """

    def __init__(self, runner: Runner, dataloader: Any = None, evaluator: Any = None,
                 benchmarks: Mapping[str, Mapping] | None = None,
                 loop: Mapping | None = None) -> None:
        self._runner = runner
        self.benchmarks = benchmarks or runner.cfg.get('benchmarks')
        if not self.benchmarks:
            raise ValueError(
                'BenchmarksTestLoop needs benchmarks=dict(name=dict(dataloader=..., '
                'evaluator=...)), in test_cfg or in the config')
        self.loop = dict(loop or dict(type='TestLoop'))
        self.dataloader: Any = None
        self.evaluator: Any = None
        self.scores: dict[str, dict[str, float]] = {}

    def run(self) -> dict[str, float]:
        """Test on one after the other.

        Returns:
            dict: ``name/score`` of each.
        """
        for name, settings in self.benchmarks.items():
            self.runner.logger.info(f'benchmark {name}')
            # Each is gone through once: its workers need not stay.
            dataloader = dict(self._augmented(settings), persistent_workers=False)
            own: TestLoop = ROOT_LOOPS.build(self.loop, default_args=dict(
                runner=self.runner, dataloader=dataloader,
                evaluator=settings['evaluator']))
            self.dataloader, self.evaluator = own.dataloader, own.evaluator
            self.scores[name] = own.run()
        return {f'{name}/{key}': value for name, scores in self.scores.items()
                for key, value in scores.items()}

    def _augmented(self, settings: Mapping) -> Mapping:
        """The dataloader of a benchmark, augmented if the model merges forms."""
        dataloader, model = settings['dataloader'], self.runner.model
        while is_model_wrapper(model):
            model = model.module
        if not isinstance(model, BaseTTAModel):
            return dataloader
        pipeline = settings.get('tta_pipeline') or self.runner.cfg.get('tta_pipeline')
        if pipeline is None:
            raise ValueError('augmentation at test time needs a tta_pipeline in the '
                             'config; those of the package have one')
        return dict(dataloader, dataset=dict(dataloader['dataset'], pipeline=pipeline))
