/* How an item of a program says what is wrong with it. */
#ifndef HOLDS_H
#define HOLDS_H

#include "report.h"

#define FAULT_ROOM 600

/* The number of the look that is being taken; 0 before the first. */
static int asked_number;

/* First thing that is wrong with the item being looked at. */
static char item_fault[FAULT_ROOM];

/* What must hold; the first one that does not becomes the item's fault. */
#define HOLDS(condition, ...)                                                                        \
  do {                                                                                               \
    if (!(condition) && item_fault[0] == 0) snprintf(item_fault, sizeof item_fault, __VA_ARGS__);    \
  } while (0)

/* As HOLDS for calls that must not fail. */
#define WORKS(expression)                                                                            \
  ({                                                                                                 \
    long works_result = (long) (expression);                                                         \
    HOLDS(works_result != -1, "line %d: %s: %s", __LINE__, #expression, strerror(errno));            \
    works_result;                                                                                    \
  })

static inline void fill(void *at, uint64_t bytes, uint64_t seed) {
  for (uint64_t word = 0; word < bytes / 8; word++) ((uint64_t *) at)[word] = mix(seed + word);
}

/* True when every word is what fill has written. */
static inline bool holds(const void *at, uint64_t bytes, uint64_t seed) {
  for (uint64_t word = 0; word < bytes / 8; word++) {
    if (((const volatile uint64_t *) at)[word] != mix(seed + word)) return false;
  }
  return true;
}

#endif
