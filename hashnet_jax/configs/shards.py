"""Any folder of Parquet files as on the Hugging Face Hub, or of tar files as of WebDataset.

    hashnet train --dataset shards --image-root DIR
    hashnet train --dataset shards --image-root DIR --backbone efficientnet_lite0 \\
        --pretrained auto --freeze-backbone

Protocol and hyperparameters: the same as for folder. In each class, a tenth of the pictures (up to
100) are queries. All other pictures are used for training and form the database.
Expected: the MAP depends on the pictures, so there is no published result to compare with.
"""

import dataclasses

from hashnet_jax.configs import folder

CONFIG = dataclasses.replace(folder.CONFIG, dataset="shards")
