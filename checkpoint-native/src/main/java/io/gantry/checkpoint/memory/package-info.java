/** Address-space layout, write tracking, reading and writing of pages. */
package io.gantry.checkpoint.memory;
