/**
 * A container's own {@code /dev/shm}: where it is, what lies in it under which names, and how that is put there again. What its files contain is
 * memory's. Knows nothing of descriptors and layouts.
 */
package io.gantry.checkpoint.shm;
