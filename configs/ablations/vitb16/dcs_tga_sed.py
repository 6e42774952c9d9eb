# Table III, DCS + TGA + SED: everything but tag validation.
_base_ = '../../dcpclip_vitb16_coco.py'
custom_hooks = [dict(type='VocabularyHook')]
