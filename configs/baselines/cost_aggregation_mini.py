# Cost aggregation over every word on the small drawn world, to compare with. Encoder,
# data and schedule are dcpclip_mini_paper's; it has about as many parameters.
_base_ = '../dcpclip_mini_paper.py'
model = dict(
    tag_validation=None,
    selection=dict(_delete_=True, type='EveryCategory', num_trained=40),
    neck=dict(
        _delete_=True,
        type='CostAggregation',
        cost_dims=64,
        guidance_dims=64,
        num_layers=2,
        num_heads=4,
        window_size=4,
        kernel_size=3,
        mlp_ratio=4),
    decode_head=dict(
        spatial_enhance=False, fuse_attention=False, similarity_dims=(16, 8)))
