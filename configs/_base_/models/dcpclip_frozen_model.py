# CLIP as it is, in the frame of published training-free work: windows of 224 pixels at
# stride 112 with CLIP's own position table, cosines averaged over windows, then
# softmax(40 cosine) over the selected words. For other weights change `clip`.
clip = dict(model_name='ViT-B-16', pretrained='openai')
model = dict(
    type='DCPCLIP',
    data_preprocessor=dict(
        type='OpenVocabDataPreProcessor',
        mean=[122.771, 116.746, 104.094],
        std=[68.501, 66.632, 70.323],
        bgr_to_rgb=True),
    # No shallow maps: nothing here reads them.
    backbone=dict(
        type='CLIPVisionBackbone', out_indices=(), trainable='none',
        read_out='kk_gauss', **clip),
    text_encoder=dict(type='CLIPTextEncoder', templates='imagenet', **clip),
    # The best word of each patch is among them: masks are those of all words.
    selection=dict(theta=0.5, form='union'),
    decode_head=dict(
        type='CosineHead', scale=40.0, bias=0.0, activation='softmax', trainable=False),
    vocabulary='coco_stuff_171',
    ignore_index=255,
    # Masks that follow the picture: refinement=dict(type='PAMR').
    test_cfg=dict(mode='slide', crop_size=(224, 224), stride=(112, 112),
                  global_view=False, synonyms='max'))
# What `--mode` and `Predictor(mode=...)` put in place of how pictures are looked at:
# the whole picture at once, or the windows of published work.
modes = dict(fast=dict(mode='whole'), accurate=model['test_cfg'])
