# DCP-CLIP on the mini CLIP of the small world (8 x 8 patches of
# 64-pixel crops in training, 12 x 12 of 96-pixel pictures in testing). Widths that one
# part decides for another are not repeated.
clip = dict(model_name='mini-ViT-8', pretrained='miniworld')
model = dict(
    type='DCPCLIP',
    data_preprocessor=dict(
        type='OpenVocabDataPreProcessor',
        mean=[122.771, 116.746, 104.094],
        std=[68.501, 66.632, 70.323],
        bgr_to_rgb=True),
    backbone=dict(
        type='CLIPVisionBackbone', out_indices=(1, 3), trainable='qv', **clip),
    text_encoder=dict(type='CLIPTextEncoder', templates='miniworld', **clip),
    selection=dict(theta=0.05),
    neck=dict(
        type='TextGuidedAlignment',
        cost_dims=32,
        kernel_size=3,
        num_self_heads=2,
        mlp_ratio=2),
    decode_head=dict(
        type='SpatialEnhancedDecoder',
        # The binary cross-entropy judges each word by itself, the other one which of
        # them wins. The paper has only the first, see `*_paper.py`.
        loss_decode=[
            dict(type='SelectedBCELoss'),
            dict(type='SelectedCrossEntropyLoss', loss_weight=1.0)
        ],
        window_size=4,
        attention_grid=8,
        similarity_dims=(8, 4),
        guidance_dims=(64, 32),
        skip_dims=(32, 32),
        num_heads=(2, 1),
        mlp_ratio=2),
    # The second look (Eq. 17); None tests without.
    tag_validation=dict(seen='mini-seen', top_k=3),
    vocabulary='mini-seen',
    ignore_index=65535,
    test_cfg=dict(mode='whole'))
# What `--mode` and `Predictor(mode=...)` put in place of how pictures are looked at.
modes = dict(
    fast=dict(mode='whole'),
    accurate=dict(mode='whole', tta='shift'))
