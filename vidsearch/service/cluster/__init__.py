"""One index served by many machines: shards compare vectors, the serving process does all else.

question ──▶ ClusterIndex: filter, lists to visit ──┬─▶ shard 1: codes and vectors of its segments ─┐
             (this process, its rows and columns)   ├─▶ shard 2                                     ├─▶ merged, refined, fetched
                                                    └─▶ shard 3                                     ┘
"""
