package io.gantry.checkpoint.resource;

import java.util.List;

/**
 * One open file description and everybody who has it.
 *
 * @param id from 1, in the order in which the files were first met
 * @param holders at least one; ordered as processes, then descriptors
 */
record OpenFile(int id, List<SeenDescriptor> holders) {
  SeenDescriptor first() {
    return holders.getFirst();
  }
}
