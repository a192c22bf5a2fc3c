# SPDX-License-Identifier: Apache-2.0
dist_man_MANS += man/sheep.8 man/dog-cluster.8 man/dog-node.8 man/dog-vdi.8 man/sheepfold.3
