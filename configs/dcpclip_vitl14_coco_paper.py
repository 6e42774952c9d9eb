# DCP-CLIP ViT-L/14@336 with the paper's loss and selection.
_base_ = './dcpclip_vitl14_coco.py'
model = dict(
    selection=dict(form='paper'),
    decode_head=dict(loss_decode=dict(_delete_=True, type='SelectedBCELoss')))
