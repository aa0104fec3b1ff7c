package io.gantry.checkpoint.memory;

import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.image.mapped_file;

/** Where files come from that are mapped, or run, and have no name. Their content travels by itself. One thread at a time. */
public interface DeletedFiles {
  /** There are none. */
  DeletedFiles NONE =
      new DeletedFiles() {
        @Override
        public void prepare(mapped_file file, boolean last) {
          throw new CheckpointException("the container has mapped " + file.getName() + ", a deleted file, whose content cannot come here");
        }

        @Override
        public int descriptor(mapped_file file, boolean writable) {
          throw new IllegalStateException("there are no deleted files");
        }

        @Override
        public int program(mapped_file file) {
          throw new IllegalStateException("there are no deleted files");
        }
      };

  /**
   * Makes the file unless it is there, at least as long as it has to be. There is a process in the container's mount namespace.
   *
   * @param last nothing changes any more: exactly as long
   */
  void prepare(mapped_file file, boolean last);

  /** A descriptor of the agent, to map the file from; not the caller's to close. @param writable open for writing too, else for reading only */
  int descriptor(mapped_file file, boolean writable);

  /** As {@link #descriptor}, for a file that is run: the kernel wants that nobody has it open for writing, so nobody may write any more. */
  int program(mapped_file file);

  /** Where a file that has a name lies while the copy is built: files that travel along come into their place last. */
  default String whereNow(String path) {
    return path;
  }
}
