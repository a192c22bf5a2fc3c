/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_BASE_LIST_H
#define SF_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

/* Intrusive, circular, doubly linked. A head is a struct list that points at itself. */
struct list {
	struct list *next, *prev;
};

#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

static inline void list_init(struct list *head)
{
	head->next = head->prev = head;
}
static inline bool list_empty(const struct list *head)
{
	return head->next == head;
}
static inline void list_push(struct list *head, struct list *item) /* at the end */
{
	item->prev = head->prev;
	item->next = head;
	head->prev->next = item;
	head->prev = item;
}
static inline void list_push_front(struct list *head, struct list *item)
{
	list_push(head->next, item);
}
/* Leaves the item pointing at itself, so that removing it twice is harmless. */
static inline void list_remove(struct list *item)
{
	item->prev->next = item->next;
	item->next->prev = item->prev;
	item->next = item->prev = item;
}
/* First item unlinked, or NULL. */
static inline struct list *list_pop(struct list *head)
{
	struct list *item = head->next;
	if (item == head)
		return NULL;
	list_remove(item);
	return item;
}
/* Appends all of src to dst, leaves src empty. */
static inline void list_splice(struct list *dst, struct list *src)
{
	if (list_empty(src))
		return;
	src->next->prev = dst->prev;
	dst->prev->next = src->next;
	src->prev->next = dst;
	dst->prev = src->prev;
	list_init(src);
}

#define list_item(ptr, type, member) container_of(ptr, type, member)
#define list_each(it, head) for (struct list *it = (head)->next; it != (head); it = it->next)
/* The item at hand may be removed. */
#define list_each_safe(it, head)                                                                   \
	for (struct list *it = (head)->next, *it##_next = it->next; it != (head);                  \
	     it = it##_next, it##_next = it->next)

#endif
