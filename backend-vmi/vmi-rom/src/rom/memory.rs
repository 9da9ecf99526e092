//! Functions that the compiler calls for copies and comparisons, and that this target takes from a C
//! library.

use core::arch::global_asm;

global_asm!(
    ".pushsection .text.memory, \"ax\", @progbits",
    ".globl memcpy",
    "memcpy:",
    "pushl %esi",
    "pushl %edi",
    "movl 12(%esp), %edi",
    "movl 16(%esp), %esi",
    "movl 20(%esp), %ecx",
    "movl %edi, %eax",
    "rep movsb",
    "popl %edi",
    "popl %esi",
    "ret",
    ".globl memset",
    "memset:",
    "pushl %edi",
    "movl 8(%esp), %edi",
    "movl 12(%esp), %eax",
    "movl 16(%esp), %ecx",
    "movl %edi, %edx",
    "rep stosb",
    "movl %edx, %eax",
    "popl %edi",
    "ret",
    // Whether they differ.
    ".globl bcmp",
    "bcmp:",
    "pushl %esi",
    "pushl %edi",
    "movl 12(%esp), %edi",
    "movl 16(%esp), %esi",
    "movl 20(%esp), %ecx",
    "xorl %eax, %eax",
    "repe cmpsb",
    "setne %al",
    "popl %edi",
    "popl %esi",
    "ret",
    ".popsection",
    options(att_syntax)
);
