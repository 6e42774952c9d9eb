custom_imports = dict(imports=['mmseg_dcpclip'], allow_failed_imports=False)
default_scope = 'mmseg'
# MMEngine's Runner, and without CUDA one that trains with several processes too.
runner_type = 'AnywhereRunner'
env_cfg = dict(
    cudnn_benchmark=True,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'))
default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50, log_metric_by_epoch=False),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(type='ResumableCheckpointHook', by_epoch=False, interval=8000,
                    max_keep_ckpts=2),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    # Lets the words follow the dataset. It stands here and not in custom_hooks, a list
    # that a config of your own would replace.
    vocabulary=dict(type='VocabularyHook'),
    parameters=dict(type='ParameterReportHook'),
    visualization=dict(type='SegVisualizationHook'))
visualizer = dict(
    type='SegLocalVisualizer', vis_backends=[dict(type='LocalVisBackend')],
    name='visualizer')
tta_model = dict(type='OVSegTTAModel')
log_processor = dict(by_epoch=False)
log_level = 'INFO'
load_from = None
resume = False
