# Without training: DataComp's ViT-L/14.
_base_ = '../dcpclip_vitb16_frozen.py'
clip = dict(model_name='ViT-L-14', pretrained='datacomp_xl_s13b_b90k')
model = dict(backbone=clip, text_encoder=clip)
