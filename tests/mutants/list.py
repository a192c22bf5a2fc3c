# SPDX-License-Identifier: Apache-2.0
"""Deliberate bugs. Each takes away one rule; what must notice is the simulator or the named unit test.

The old text occurs once in the file: keep it short, and move it along when the source changes.
"""
from typing import NamedTuple


class Mutant(NamedTuple):
    name: str
    breaks: str  # the rule that it takes away
    file: str
    old: str
    new: str
    catcher: str = 'sim'  # with its options, or the program of a unit test


C = 'sheep/core/'
COROSYNC = 'sim --driver corosync'
MUTANTS = [
    # ---- Writes
    Mutant('early_ack', 'a write is answered when every live slot has it, not one fewer',
           C + 'write.c', 'm, write_answer, i);',
           'm, pg->live >> i == 1 ? NULL : write_answer, i);\n\t\top->awaited -= pg->live >> i == 1;'),
    Mutant('ack_refused', 'a write that one slot refused is not acknowledged',
           C + 'write.c', 'if (op->failed)\n', 'if (op->failed && !op->prepared)\n'),
    Mutant('min_live_ignored', 'writes need k + 1 live slots',
           C + 'epochs.c', 'return MIN(pg->n, pg->k + node->map->min_live_extra);', 'return pg->k;'),
    Mutant('no_dedup', 'a request is applied once, however often it is repeated',
           C + 'write.c', '\tif (before) {', '\tif (0 && before) {'),
    Mutant('parity_from_new', 'parity changes by the difference of new and old bytes',
           C + 'write.c', 'ec_xor(dst, slice_data(&old), len);', '(void)dst;'),
    Mutant('refused_left', 'what the others have of a refused write is rolled back',
           C + 'write.c', 'm->oid = op->req->oid;\n\t\tm->shard = i;\n\t\tm->version = op->version;',
           'm->oid = op->req->oid;\n\t\tm->shard = i;\n\t\tm->version = 1;'),
    Mutant('commit_passes_inflight', 'the commit point stays below writes that are under way',
           C + 'pg.c', "\tif (!list_empty(&pg->inflight))\n", '\tif (0)\n'),
    Mutant('counter_reused', 'a version is given to one write only',
           C + 'pg.c', 'version_make(pg->epoch, ++pg->counter)', 'version_make(pg->epoch, (++pg->counter - 1) % 4 + 1)'),
    Mutant('stale_call_ids', 'an answer to a former life of a node is not taken for one to this',
           C + 'node.c', 'node->next_call = config->info.incarnation << 20;', 'node->next_call = 0;', 'guard_test'),
    # ---- Who may serve
    Mutant('no_lease', 'a node serves only while its lease runs',
           C + 'node.c', 'now_ms < node->lease_until &&', '', ),
    Mutant('no_promise', 'a slot refuses requests of older intervals',
           C + 'replica.c', 'if (!is_client && (msg->epoch < slot->interval_start || msg->epoch < slot->promised))',
           'if (0)'),
    Mutant('no_lease_barrier', 'a PG becomes active only after leases of who was dropped have ended',
           C + 'peering.c', 'pg->not_before = membership_lease_barrier(node);', 'pg->not_before = 0;', COROSYNC),
    Mutant('served_before_active', 'requests wait until peering has decided',
           C + 'read.c', 'if (pg->state != PG_ACTIVE)\n', 'if (pg->state < PG_LIST)\n'),
    Mutant('map_without_swap', 'of two maps proposed for an epoch one wins',
           'tests/sim/sim_member.c', 'return now->epoch == t->expected_epoch && now->cluster == t->expected_cluster;',
           'return now->cluster == t->expected_cluster;'),
    # ---- Peering
    Mutant('current_slots_only', 'peering asks every disk that was a slot since the PG was clean',
           C + 'peering.c', 'intervals_each(node, pg, pg->clean_epoch, interval_add_members, NULL);', ''),
    Mutant('narrow_code', 'copies that came with a wider pool are made as the others are',
           C + 'epochs.c', 'if (p->code && ec_m(p->code) == conf->m)', 'if (p->code)'),
    Mutant('unknown_interval', 'peering waits for an interval of which nobody was heard',
           C + 'peering.c', 'if (intervals_each(node, pg, pg->clean_epoch, interval_is_known, NULL))', 'if (1)'),
    Mutant('forward_k_minus_1', 'a version on fewer than k shards does not stand',
           C + 'resolve.c', '(uint32_t)__builtin_popcountll(v->have) >= pg->k))',
           '(uint32_t)__builtin_popcountll(v->have) + 1 >= pg->k))'),
    Mutant('undecided_rejected', 'what may have been acknowledged is not taken back',
           C + 'resolve.c', 'if (never_acknowledged(node, pg, f, version)) {', 'if (!v->committed) {'),
    Mutant('standing_rejected', 'a version that stands is not rolled back',
           C + 'resolve.c', '\t\tif (v->committed ||\n',
           '\t\tif (!v->committed && !v->tombstone) {\n\t\t\treject(pg, f, version, false);\n\t\t\tcontinue;\n\t\t}\n'
           '\t\tif (v->committed ||\n'),
    Mutant('left_over_believed', 'what a slot of the last clean epoch lacks was deleted',
           C + 'resolve.c', 'if (deleted_when_clean(node, pg, f, version)) {', 'if (0) {'),
    # That the last accepted version counts (resolve.c), and which logs are believed (pg_log.c), takes chains
    # of four intervals to miss: doc/model has these as NO_STOOD and TRUST_LOGS, 20,000 seeds do not.
    Mutant('requests_not_merged', 'the new primary knows which requests were applied',
           C + 'pg_log.c', 'pg_add_request(pg, &pg->done[i], RES_OK);', '(void)pg;'),
    Mutant('cap_ignored', 'the commit point stays below what is undecided',
           C + 'peering.c', 'MIN(pg->max_version, pg->commit_cap)', 'pg->max_version'),
    Mutant('unstable_shown', 'a version is shown only when every live slot has it',
           C + 'object.c', 'if (!m || (!op->exclusive && !m->unstable && !m->unfound))',
           'if (!m || (!op->exclusive && !m->unfound))'),
    Mutant('held_shown', 'a version that nobody saw acknowledged is shown only from k + 1 slots',
           C + 'resolve.c', 'm->held = held || v.undecided;', 'm->held = v.undecided;\n\tm->unstable = m->unstable && !held;'),
    # ---- Recovery, becoming clean
    Mutant('clean_too_early', 'a PG is clean only when nothing is missing',
           C + 'pg.c', 'pg->state == PG_ACTIVE && pg->missing.count == 0 &&', 'pg->state == PG_ACTIVE &&'),
    Mutant('missing_read', 'a slot that is known to lack its shard is not read',
           C + 'plan.c', 'return m ? m->have : pg->live;', 'return pg->live;'),
    Mutant('lacking_overlooked', 'a slot that is behind is noticed at peering',
           C + 'resolve.c', 'lacking &= ~slot_bit(slot);\n', 'lacking &= ~(slot_bit(slot) << 1 | slot_bit(slot));\n'),
    Mutant('strays_kept', 'what is where the map does not say is dropped',
           C + 'stray.c', '\tif (!node->stray_at || node->now < node->stray_at)', '\tif (1)'),
    Mutant('stray_dropped_early', 'a former slot keeps its shards until the PG is clean',
           C + 'stray.c', 'if (!pg || !pg->clean || !d ||', 'if (!pg || !d ||'),
    Mutant('unverified_version', 'shards that are decoded together have one version',
           C + 'plan.c', 'if (io->result != RES_OK || (version && io->version != version))',
           'if (io->result != RES_OK)', 'absent_test'),
    # ---- Disks that have forgotten, and what is lost
    Mutant('absent_read', 'one slot alone is not believed that there is no such object',
           C + 'read.c', 'absent_confirm(node, op, read_confirmed);', 'read_confirmed(node, op);', 'absent_test'),
    Mutant('absent_written', 'nor when the object is written',
           C + 'object.c', 'absent_confirm(node, op, object_stat_absent);', 'object_stat_absent(node, op);',
           'absent_test'),
    Mutant('lost_forgotten', 'a lost object is lost until what replaces it has succeeded',
           C + 'trouble.c', '\to->version = m->version;\n', '\to->version = m->version;\n\tmissing_free(node, m);\n',
           'absent_test'),
    Mutant('write_taken_for_delete', 'a remembered change may be a write that only damaged slots have',
           C + 'check.c', 'if (s->absent && changed > v->version && s->damaged &&',
           'if (0 && changed > v->version && s->damaged &&', 'scrub_test'),
    Mutant('contradictions_stay', 'what the scrub reports goes with the placement group',
           C + 'epochs.c', '\t\t\ttroubles_forget_pg(node, p->pool, i);', '\t\t\t;', 'scrub_test'),
    Mutant('store_no_salt', 'what a client wrote does not pass for a batch of the log',
           'sheep/store/replay.c', 'f->h.salt != st->sb.salt || ', '', 'store_damage_test'),
    # ---- What a disk promises (sheep/core/disk_job.h)
    Mutant('old_dropped_at_prepare', 'the old version is kept until the new one is committed',
           'tests/sim/disk_pg.c', '\tlog_add(pg, &e);\n\t*ret_version = req->version;',
           '\tlog_add(pg, &e);\n\tshard_commit(s);\n\t*ret_version = req->version;'),
    Mutant('tombstones_forgotten', 'a delete is remembered until every slot knows of it',
           'tests/sim/disk_pg.c', '\tif (!(req->flags & MSG_F_PURGE))\n\t\treturn;', ''),
    Mutant('damage_trusted', 'bytes are served only when their checksum is right',
           'tests/sim/disk_pg.c', 'return v->damaged;', 'return false;'),
    Mutant('no_sync', 'a disk answers when what it was told is durable',
           'tests/sim/disk_queue.c', 'q->sync |= sim_disk_request_durable(job->req->type);', ''),
    # ---- Who is a member, by Corosync
    Mutant('cs_half_is_enough', 'a map has won when more than half of all nodes have it',
           'sheep/member/cs_logic.c', '\treturn 2 * count > l->nodes;', '\treturn 2 * count >= l->nodes;', COROSYNC),
    Mutant('cs_accepted_forgotten', 'what may have won unseen is proposed again first',
           'sheep/member/cs_decide.c', '\trecover(l);\n', '', COROSYNC),
    Mutant('cs_empty_promises', 'who has lost its register promises nothing',
           'sheep/member/cs_decide.c', '\tif (has_forgotten(l))\n', '\tif (0)\n', COROSYNC),
    Mutant('cs_missed', 'who missed what has won has no lease until it has it',
           'sheep/member/cs_live.c', '\tcs_decide_told(l, m->committed);\n', '', 'member_cs_test'),
    Mutant('cs_own_beat', 'a lease counts from a beat that more than half have heard',
           'sheep/member/cs_live.c', 'result = heard[l->nodes / 2];', 'result = heard[0];', COROSYNC),
    Mutant('cs_gone_at_once', 'who has gone is waited for while it may have a lease',
           'sheep/member/cs_live.c', 'if (dead || !p->has_info ||', 'if (1 || dead || !p->has_info ||', COROSYNC),
    # ---- The store
    Mutant('store_no_sync', 'a batch is durable before it is answered',
           'sheep/store/batch.c', '\tif (!err && !st->opt.nosync)\n\t\terr = segment_sync(&st->segs);', '',
           'store_powercut_test'),
    Mutant('store_no_dir_sync', 'the name of a new segment is durable before its contents count',
           'sheep/store/segment.c', 'return fs_sync_dir(s->fs, s->dir);', 'return 0;', 'store_powercut_test'),
    Mutant('store_sync_error', 'a failed fdatasync takes the disk out',
           'sheep/store/segment.c', 'return s->fs->fdatasync(s->fs->arg, s->current->fd) ? -EIO : 0;',
           's->fs->fdatasync(s->fs->arg, s->current->fd);\n\treturn 0;', 'store_fire_test'),
]
