# Cost aggregation over every word on OpenAI's CLIP ViT-B/16, to compare with. It trains
# on all 171 categories of COCO-Stuff in every step and has about as many parameters.
_base_ = '../dcpclip_vitb16_coco_paper.py'
model = dict(
    tag_validation=None,
    selection=dict(_delete_=True, type='EveryCategory'),
    neck=dict(
        _delete_=True,
        type='CostAggregation',
        cost_dims=208,
        guidance_dims=128,
        num_layers=3,
        num_heads=4,
        window_size=12,
        kernel_size=7,
        mlp_ratio=4),
    decode_head=dict(spatial_enhance=False, fuse_attention=False))
# The read-out takes no query of the last block, and no attention is asked for.
find_unused_parameters = True
