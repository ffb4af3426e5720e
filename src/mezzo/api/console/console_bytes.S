/* The console's files, one after the other, as tools/console.py packed them. */
        .section .rodata
        .balign 64
        .global mezzo_console_bytes
        .type mezzo_console_bytes, %object
mezzo_console_bytes:
        .incbin "console.bin"
        .size mezzo_console_bytes, . - mezzo_console_bytes
        .section .note.GNU-stack, "", %progbits
