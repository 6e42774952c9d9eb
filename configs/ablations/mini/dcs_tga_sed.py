# Table III, DCS + TGA + SED: everything but tag validation.
_base_ = '../../dcpclip_mini.py'
custom_hooks = [dict(type='VocabularyHook')]
