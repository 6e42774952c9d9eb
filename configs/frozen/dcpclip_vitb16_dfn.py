# Without training: DFN's ViT-B/16.
_base_ = '../dcpclip_vitb16_frozen.py'
clip = dict(model_name='ViT-B-16', pretrained='dfn2b')
model = dict(backbone=clip, text_encoder=clip)
