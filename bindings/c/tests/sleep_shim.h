// The machine's sleep, as a program sees it that is told of it by its clocks alone: a library to be preloaded.
#ifndef SLEEP_SHIM_H
#define SLEEP_SHIM_H

// From now on CLOCK_MONOTONIC stands still and CLOCK_BOOTTIME goes on, until sleep_shim_wake.
typedef void sleep_shim_fall_asleep_function(void);

// CLOCK_MONOTONIC goes on from where it stood.
typedef void sleep_shim_wake_function(void);

// A whole sleep in an instant: CLOCK_BOOTTIME is ahead by this many seconds.
typedef void sleep_shim_sleep_through_function(long seconds);

#endif
