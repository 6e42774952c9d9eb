# DCP-CLIP ViT-B/16 with the paper's loss and selection.
_base_ = './dcpclip_vitb16_coco.py'
model = dict(
    selection=dict(form='paper'),
    decode_head=dict(loss_decode=dict(_delete_=True, type='SelectedBCELoss')))
