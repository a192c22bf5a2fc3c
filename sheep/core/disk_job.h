/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_CORE_DISK_JOB_H
#define SF_CORE_DISK_JOB_H

#include "sheep/core/node.h"

/*
 * What a store does for each request. Two implementations keep this contract: sheep/store on
 * real disks and the simulated disk of tests/sim.
 *
 * A shard is named by (pool, pg, oid, shard). The store keeps for it
 *   committed   a version, tombstone or content (bytes; holes read as zeros), and
 *   pending     at most one newer version, prepared but not known to be acknowledged.
 * "newest" is pending if there is one, else committed. A fresh shard has neither (version 0).
 * Each of the two has `stood`: the epoch of the last interval that accepted it here, by a prepare or a
 * push. It goes with the version when pending becomes committed. An order of (stood, version), not the
 * version alone, tells what is the later word.
 * Per PG it keeps a struct pg_info and a log of the last PG_LOG_MAX prepared changes (version,
 * oid, req), by version. info.floor is at least the version of every entry that gave way. info.suspect
 * is set when a shard is marked damaged.
 *
 * "Durable" below means: before the reply, it survives a power cut. All else may be lost in
 * one, back to the last durable state, but never in part.
 *
 * MSG_SHARD_PREPARE (durable)
 *   1. Everything pending in this PG with version <= req->commit becomes committed. (Likewise in
 *      PG_COMMIT.)
 *   2. If committed or pending already has req->version: RES_OK, nothing changes (a repeated
 *      request).
 *   3. If req->version <= newest version, or <= info.commit (a late copy): RES_BASE.
 *      reply->version = newest.
 *   4. If pending exists: when pending == req->base it becomes committed, else RES_BASE.
 *   5. Unless REPLACE or DELETE: newest must equal req->base, else RES_BASE. (A tombstone counts
 *      as a version; base 0 = absent.)
 *   6. pending = req->version, its stood = version_epoch(req->version). DELETE: a tombstone. REPLACE:
 *      only the ranges. Otherwise the committed content (nothing if that is a tombstone) with the
 *      ranges applied: DATA, XOR (onto zeros where there is a hole), ZERO. No ranges: only the
 *      version changes.
 *   7. req->req is appended to the PG's log with version and oid (also when client == 0).
 *   RES_NOSPACE when only the reserve is left (DELETE still works); RES_CORRUPT when old bytes
 *   that XOR needs fail their checksum (the shard is marked damaged); RES_IO. On any error nothing
 *   has changed but steps 1 and 4. reply->version = the version now newest.
 * MSG_SHARD_PUSH (durable)
 *   If committed >= req->version (and not damaged): RES_OK, nothing changes. If pending >
 *   req->version: RES_BASE. Otherwise committed = req->version with exactly the ranges as content
 *   (or a tombstone), its stood = req->info.activated (at least version_epoch(req->version)),
 *   damage and pending are gone, and the pending version's log entries too when it is another one.
 *   RES_NOSPACE when only the reserve is left.
 *   With SHARD_UNSTABLE, for a version that may yet be taken back:
 *   1. If committed >= req->version: RES_OK, nothing changes.
 *   2. If pending == req->version (and not damaged): its stood = req->info.activated where greater, RES_OK.
 *   3. With SHARD_ACCEPT (only 2 was meant, no bytes came): RES_BASE, nothing changes.
 *   4. If pending == req->base it becomes committed; any other pending version is dropped with its log
 *      entries, a greater one too.
 *   5. pending = req->version with exactly the ranges as content (or a tombstone), its stood =
 *      req->info.activated; committed stays as it is. req->req is appended to the log as by PREPARE.
 *   It may use of the reserve what deletes may.
 * MSG_SHARD_ROLLBACK (durable)
 *   If pending == req->version: it is dropped, and its log entries too. RES_OK also when there is
 *   no such version at all; RES_BASE when it is committed.
 * MSG_SHARD_REMOVE (durable at the latest with the next durable request)
 *   Drops the shard, versions, tombstone and all, if newest <= req->version. RES_OK.
 * MSG_SHARD_READ
 *   Newest content [offset, offset + length) into the buffer of reply->payload, sealed (buf.h)
 *   with verified checksums; reply->version = newest. RES_NOENT: absent or tombstone
 *   (reply->version = newest). RES_CORRUPT: the shard is marked damaged (durable soon). RES_IO. On
 *   error the buffer's contents are undefined.
 * MSG_SHARD_STAT
 *   reply->entries[0], or RES_NOENT when there is neither committed nor pending.
 * MSG_PG_LIST
 *   Entries of the PG in (oid, shard) order after the cursor (req->oid, req->shard) or from the
 *   start with MSG_F_FIRST, at most min(req->length, MSG_MAX_ENTRIES); MSG_F_MORE when there are
 *   others behind. With req->log (ascending oids; the rest of its entries is ignored): those of
 *   these objects only, and no cursor.
 * MSG_PG_COMMIT
 *   Step 1 of PREPARE with req->commit; info.commit = max(info.commit, req->commit).
 * MSG_PG_QUERY
 *   reply->info (zeros when unknown) and reply->log. info.objects = shards here that are no
 *   tombstones.
 * MSG_PG_ACTIVATE (durable)
 *   PG_COMMIT with info.commit. Then, with MSG_F_LOG and unless the log has a change of the epoch
 *   info.activated or newer (a late copy): the PG's log becomes the request's and info.floor the
 *   request's; own entries that the request lacks stay only while their version is pending here
 *   (peering has not decided about it). Then info.activated, info.clean and info.scrubbed = the request's where greater. With MSG_F_PURGE (the PG is clean, and
 *   this is a slot of it): info.complete = info.clean, info.clean_commit = the greatest told for it,
 *   info.suspect is false until the next damage, and committed tombstones with version <=
 *   req->info.commit that have nothing pending above them are dropped; so are shards of another
 *   number than req->shard, unless that is SHARD_NONE.
 * MSG_PG_DROP (durable with the next durable request)
 *   Every shard of the PG whose shard number differs from req->shard is dropped; with req->shard
 *   == SHARD_NONE also the PG's info and log.
 * DISK_USAGE
 *   job->usage.
 */
enum { DISK_USAGE = 1000 }; /* a request type that never crosses the wire */
enum { PG_LOG_MAX = 512 };
enum { SHARD_NONE = 255 };

#endif
