# Without training: DataComp's ViT-B/16.
_base_ = '../dcpclip_vitb16_frozen.py'
clip = dict(model_name='ViT-B-16', pretrained='datacomp_xl_s13b_b90k')
model = dict(backbone=clip, text_encoder=clip)
