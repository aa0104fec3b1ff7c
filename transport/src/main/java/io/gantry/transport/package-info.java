/** Moving batches of pages between hosts over Aeron: framing, zero pages, flow. Knows nothing of processes. */
package io.gantry.transport;
