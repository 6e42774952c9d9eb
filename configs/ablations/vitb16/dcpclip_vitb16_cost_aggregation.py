# Table 8: what a user would pick instead, attention over every word.
_base_ = '../../baselines/cost_aggregation_vitb16_coco.py'
