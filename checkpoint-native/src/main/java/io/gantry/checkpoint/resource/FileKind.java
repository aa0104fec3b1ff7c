package io.gantry.checkpoint.resource;

import io.gantry.checkpoint.image.file_entry;
import java.util.List;
import java.util.OptionalInt;

/**
 * One kind of kernel object behind descriptors. Implementations hold no state; {@link FileKinds} lists them. To support one more,
 * add one file and one line there.
 */
interface FileKind {
  /** What a person calls it; named in refusals. */
  String name(SeenDescriptor seen, int copy);

  /** How it moves, for people: a sentence without a full stop that says what of it is the same afterwards. */
  default String how() {
    return "is opened again as it was";
  }

  /** Whether this kind is responsible for what was seen. {@code copy} is our own copy of the descriptor. */
  boolean claims(SeenDescriptor seen, int copy);

  /**
   * Why it cannot be carried, in sentences; empty when it can. Consumes and changes nothing; the process may be running.
   *
   * @param copy our own copy of the descriptor
   * @param inventory everything that was found in the container
   */
  List<String> obstacles(SeenDescriptor seen, int copy, Inventory inventory);

  /**
   * Describes one open file. The container stands still.
   *
   * @param id the file's number
   * @param copy our own copy of the descriptor
   */
  file_entry capture(int id, SeenDescriptor seen, int copy, CaptureSession session);

  /** Whether {@link #recreate} of this kind makes what {@code file} describes. */
  boolean describes(file_entry file);

  /**
   * Adds the calls that make the file in {@code home}, a stub, and leave it in the file's slot. Kinds that come in groups
   * make the whole group when its first member is asked for.
   */
  void recreate(file_entry file, StubDescriptors home, Recreation recreation);

  /** Files with the same group are made in the same stub; by default each is alone. */
  default String group(file_entry file) {
    return "file " + file.getId();
  }

  /** Number, as the container counts, of the process whose stub should make it; 0 when any that has it will do. */
  default int maker(file_entry file, Recreation recreation) {
    return 0;
  }

  /**
   * A file of ours that {@link #recreate} wants to find in the stub, in {@link Recreation#sentSlot}; empty when it needs none.
   */
  default OptionalInt sends(file_entry file, Recreation recreation) {
    return OptionalInt.empty();
  }

  /** Status flags that {@link #recreate} does not give the file and that must be set at the end; 0 when none. */
  default int lateFlags(file_entry file, Recreation recreation) {
    return 0;
  }

  /** Whether {@link #finish} is to be called. */
  default boolean isFinishedLast(file_entry file) {
    return false;
  }

  /**
   * Does what has to wait until the container is complete but for its resumption.
   *
   * @param copy our own copy of the descriptor
   * @param pid a stub that has it, as the host counts
   */
  default void finish(file_entry file, int copy, int pid) {
    throw new IllegalStateException("this kind is complete already");
  }
}
