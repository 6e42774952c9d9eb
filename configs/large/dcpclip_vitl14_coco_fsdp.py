# ViT-L/14@336 in shards: bash tools/dist_train.sh THIS 4. Not run.
_base_ = ['../dcpclip_vitl14_coco.py', '../_base_/fsdp.py']
