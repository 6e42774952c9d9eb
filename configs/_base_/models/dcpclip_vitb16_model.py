# DCP-CLIP on OpenAI's CLIP ViT-B/16. Sizes the paper does not give are chosen so
# that alignment and decoder have 15.7 M parameters at ViT-L/14; widths that one part
# decides for another are not repeated.
clip = dict(model_name='ViT-B-16', pretrained='openai')
model = dict(
    type='DCPCLIP',
    data_preprocessor=dict(
        type='OpenVocabDataPreProcessor',
        mean=[122.771, 116.746, 104.094],
        std=[68.501, 66.632, 70.323],
        bgr_to_rgb=True),
    # CLIP's plain last block says next to nothing about patches: read as CAT-Seg does.
    backbone=dict(
        type='CLIPVisionBackbone', out_indices=(3, 7), trainable='qv',
        read_out='catseg', **clip),
    text_encoder=dict(type='CLIPTextEncoder', templates='imagenet', **clip),
    # The paper's form may lose words whose image score lies below theta.
    selection=dict(theta=0.5, form='union'),
    neck=dict(
        type='TextGuidedAlignment',
        cost_dims=48,
        num_cross_layers=1,
        guidance_cls='product',
        guidance_prompt=True),
    decode_head=dict(
        type='SpatialEnhancedDecoder',
        # The binary cross-entropy judges each word by itself, the other one which of
        # them wins. The paper has only the first, see `*_paper.py`.
        loss_decode=[
            dict(type='SelectedBCELoss'),
            dict(type='SelectedCrossEntropyLoss', loss_weight=1.0)
        ],
        num_layers=2,
        guidance_dims=(160, 96),
        skip_dims=(64, 48),
        window_size=12,
        attention_grid=24),
    # The second look (Eq. 17); None tests without.
    tag_validation=dict(seen='coco_stuff_171', top_k=5),
    vocabulary='coco_stuff_171',
    ignore_index=255,
    # Five views, as CAT-Seg tests: 2 x 2 windows of the 640 x 640 image and the whole,
    # each with words of its own.
    test_cfg=dict(mode='slide', crop_size=(384, 384), stride=(256, 256),
                  global_view=True, share_words=False))
# What `--mode` and `Predictor(mode=...)` put in place of how pictures are looked at.
modes = dict(
    fast=dict(mode='whole', size=(384, 384)),
    accurate=model['test_cfg'])
